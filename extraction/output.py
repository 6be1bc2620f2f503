"""The console that the command line prints tables to."""

from rich.console import Console

console = Console()
