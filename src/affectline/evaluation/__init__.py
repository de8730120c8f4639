"""From heads and labelled data to reports and choices: scoring, tuning, blending weights."""
