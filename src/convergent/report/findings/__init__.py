"""Pages of findings: questions about families of nets, with claims, figures and tables."""

from .page import write_findings

__all__ = ["write_findings"]
