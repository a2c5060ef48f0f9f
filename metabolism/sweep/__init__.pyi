from .samples import Grid, Table, as_samples
from .store import Store, Sweep, open_store
from .workers import scan

__all__ = ["Grid", "Store", "Sweep", "Table", "as_samples", "open_store", "scan"]
