from .app import exposure_warning, serve

__all__ = ["exposure_warning", "serve"]
