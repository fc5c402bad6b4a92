"""Look inside: what every layer of a run's network makes of a picture, and the numbers behind any one value.

``panel.inside_panel`` (which needs NiceGUI) builds the panel into the current container. ``Inspector`` asks
the server's ``Helper``, the one process that holds TensorFlow for the page. ``View`` is what a panel shows, as plain
values of an address. ``calculate`` turns the numbers of a value into tables, which tests
hold against what the layers computed.
"""

from conviction.web.inside.calculation import Calculation, calculate
from conviction.web.inside.inspector import Inspector
from conviction.web.inside.view import View

__all__ = ["Calculation", "Inspector", "View", "calculate"]
