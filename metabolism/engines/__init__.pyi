from .contract import Engine, Failure, Plan, Problem, Setting, Solution, check_engine, get_engine
from .ensemble.code.cascade import dependence, part, split
from .ensemble.code.kernel import ModelCode
from .ensemble.compile import Kernel, kernel
from .ensemble.engine import FastEngine, rest_many
from .ensemble.generate import generate_ahead
from .ensemble.loop.method import RODAS5P
from .ensemble.run import Run, check_requests
from .ensemble.slopes import Direction, slopes
from .ensemble.wasm import wasm_module
from .foreign import Foreign, load_foreign, typical

__all__ = [
    "RODAS5P",
    "Direction",
    "Engine",
    "Failure",
    "FastEngine",
    "Foreign",
    "Kernel",
    "ModelCode",
    "Plan",
    "Problem",
    "Run",
    "Setting",
    "Solution",
    "check_engine",
    "check_requests",
    "dependence",
    "generate_ahead",
    "get_engine",
    "kernel",
    "load_foreign",
    "part",
    "rest_many",
    "slopes",
    "split",
    "typical",
    "wasm_module",
]
