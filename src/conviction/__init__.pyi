from .artefacts.opening import load as load
from .data.source import load_source as load_source
from .errors import ConvictionError as ConvictionError
from .experiments.explore import explore as explore
from .experiments.tune import tune as tune
from .flow.compare import compare as compare
from .flow.evaluate import evaluate as evaluate
from .flow.evaluate_new import evaluate_new as evaluate_new
from .flow.export import export as export
from .flow.fit import fit as fit
from .flow.inspect import inspect as inspect
from .flow.resume import resume as resume
from .flow.summary import summary as summary
from .runs.run import Run as Run
from .runs.run import load_run as load_run

__version__: str
