"""For teachers: the course file, who has joined, what is whose, and a class's results.

``load_course`` reads ``conviction lab --course course.yaml`` into a ``Course``. ``Learners(course, root)`` lets people
join and gives each a folder. ``keep_guess`` and
``read_guesses`` hold what they expected of experiments. ``class_results`` and ``results_csv`` say what the class has
done; ``panel.class_panel``, which needs NiceGUI, shows it.
"""

from conviction.web.classroom.guesses import Guess, keep_guess, read_guesses
from conviction.web.classroom.learners import Joined, Learner, Learners
from conviction.web.classroom.results import ResultRow, class_results, results_csv
from conviction.web.work.course import Course, CourseLimits, load_course

__all__ = [
    "Course",
    "CourseLimits",
    "Guess",
    "Joined",
    "Learner",
    "Learners",
    "ResultRow",
    "class_results",
    "keep_guess",
    "load_course",
    "read_guesses",
    "results_csv",
]
