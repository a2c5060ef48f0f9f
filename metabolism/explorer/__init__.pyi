from .build import build_page, page
from .server import exposure_warning, serve

__all__ = ["build_page", "exposure_warning", "page", "serve"]
