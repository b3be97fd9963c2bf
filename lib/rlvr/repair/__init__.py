"""The repair environment: an agent mends a dropout layer whose scale inflates the variance."""

from rlvr.repair.grade import Grade, Grader, grade_solution
from rlvr.repair.task import TASK_PROMPT, setup_task_files

__all__ = ["TASK_PROMPT", "Grade", "Grader", "grade_solution", "setup_task_files"]
