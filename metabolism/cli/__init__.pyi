from .commands import build_parser, main
from .doctor import browser
from .shared import plain

__all__ = ["browser", "build_parser", "main", "plain"]
