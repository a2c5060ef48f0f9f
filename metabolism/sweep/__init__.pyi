from .rows import run_rows
from .samples import Grid, Table
from .store import Store, Sweep, open_store
from .workers import scan

__all__ = ["Grid", "Store", "Sweep", "Table", "open_store", "run_rows", "scan"]
