"""Where conviction keeps what belongs to a person and not to a run."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path

HOME_VARIABLE = "CONVICTION_HOME"


def home_folder() -> Path:
    """``CONVICTION_HOME``, by default the platform's user data folder; it need not exist."""
    home = os.environ.get(HOME_VARIABLE)
    return Path(home) if home else user_data_path("conviction")
