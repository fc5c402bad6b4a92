"""What Python users hold: a run with verbs, tables and figures. Every verb is at the top level of the package."""
