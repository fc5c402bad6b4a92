"""The lesson beside the workbench: chapters in three depths, conversations read aloud, cards, questions, terms.

``panel.chapter_panel`` (which needs NiceGUI) builds it into the current container, filled from the ``Facts`` that
``facts_for`` reads from a run. ``lesson_html`` makes safe HTML of the lesson's Markdown, with the meaning of each term
behind a button where it appears. Progress is kept by ``lesson.progress`` in the file that the caller names.
"""

from conviction.web.tutor.words import facts_for, lesson_html

__all__ = ["facts_for", "lesson_html"]
