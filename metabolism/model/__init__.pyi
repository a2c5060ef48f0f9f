from . import positions
from .annotations import COLLECTIONS, DISEASE_TERM, QUALIFIERS, REGISTRY, identifiers, read_annotations, write_identity
from .build import (
    antimony_from_sbml,
    antimony_text,
    build_is_kept,
    build_sbml,
    messages,
    model_settings,
    sbml_from_antimony,
    write_build,
)
from .catalogue import titles
from .explain import describe
from .model import Model, equations, load
from .parameters import (
    COLUMNS,
    MODEL_KINDS,
    Parameter,
    ParameterSet,
    ParameterTable,
    parameter_table,
    read_set,
    set_names,
    write_rows,
)
from .reference import closure, rewrite_table, stale_rows
from .sources import bibliography, citation, citations, publication_ids, reference_problems, untraceable
from .uncertainty import draws, posterior_sample

__all__ = [
    "COLLECTIONS",
    "COLUMNS",
    "DISEASE_TERM",
    "MODEL_KINDS",
    "QUALIFIERS",
    "REGISTRY",
    "Model",
    "Parameter",
    "ParameterSet",
    "ParameterTable",
    "antimony_from_sbml",
    "antimony_text",
    "bibliography",
    "build_is_kept",
    "build_sbml",
    "citation",
    "citations",
    "closure",
    "describe",
    "draws",
    "equations",
    "identifiers",
    "load",
    "messages",
    "model_settings",
    "parameter_table",
    "positions",
    "posterior_sample",
    "publication_ids",
    "read_annotations",
    "read_set",
    "reference_problems",
    "rewrite_table",
    "sbml_from_antimony",
    "set_names",
    "stale_rows",
    "titles",
    "untraceable",
    "write_build",
    "write_identity",
    "write_rows",
]
