"""Names of before the wings: `import p3mlib.datasets` gives what `p3mlib.data.datasets` holds, with a DeprecationWarning."""

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings

MOVED = {  # old name -> where its content lives now
    "anonymize_folder": "privacy.folder",
    "attack": "privacy.attack",
    "audit": "privacy.audit",
    "augment": "data.augment",
    "bench": "experiments.bench",
    "captions": "results.captions",
    "claims": "results.claims",
    "config": "experiments.config",
    "copy_paste_diagram": "drawing.copy_paste",
    "datasets": "data.datasets data.celeba",
    "diagrams": "drawing.network",
    "encoder_diagram": "drawing.encoder",
    "evaluate": "experiments.evaluate models.inference",
    "export": "models.export",
    "faces": "privacy.faces",
    "fill": "experiments.parallel",
    "flow": "drawing.trace",
    "layers": "data.foreground",
    "metadata": "privacy.metadata",
    "photos": "experiments.predict",
    "plots": "drawing.plots",
    "report": "results.report",
    "runs": "experiments.runs experiments.corpus",
    "site": "results.page",
    "statistics": "results.statistics",
    "structure_diagram": "drawing.structure",
    "tables": "results.tables",
    "train": "experiments.train experiments.views",
    "transfer": "results.transfer",
    "verify": "data.verify",
}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds an old name, asked after all others, as a module that looks everything up in its new home."""

    def find_spec(self, fullname, path=None, target=None):
        """Spec of a moved module of p3mlib; None for every other name."""
        package, _, name = fullname.partition(".")
        return importlib.machinery.ModuleSpec(fullname, self) if package == "p3mlib" and name in MOVED else None

    def exec_module(self, module):
        """Fill the new module with a look-up in the homes of its content."""
        homes = [f"p3mlib.{home}" for home in MOVED[module.__name__.partition(".")[2]].split()]
        warnings.warn(f"{module.__name__} is now {' and '.join(homes)}", DeprecationWarning, stacklevel=2)
        modules = [importlib.import_module(home) for home in homes]

        def look_up(name):
            for found in modules:
                if hasattr(found, name):
                    return getattr(found, name)
            raise AttributeError(f"{' and '.join(homes)} have no {name}" if len(homes) > 1 else f"{homes[0]} has no {name}")

        module.__getattr__ = look_up


def install():
    """Let the interpreter find the old names."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.append(Finder())
