"""The models that people use: what each separates, where its weights are, and their licence. Loads no model."""

from msaas.catalogue.licences import LicenceRule
from msaas.catalogue.read import catalogue, read_catalogue
from msaas.catalogue.records import NOT_STATED, Catalogue, CatalogueError, Entry, Licence, ModelFile

__all__ = [
    "NOT_STATED",
    "Catalogue",
    "CatalogueError",
    "Entry",
    "Licence",
    "LicenceRule",
    "ModelFile",
    "catalogue",
    "read_catalogue",
]
