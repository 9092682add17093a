# wiring: compare(other=...) takes Number, but judge() makes Judgement (HERE).
from tests.pipeline.tiny_line import compare, judge, pick

number = pick(value=1)
compare(number=number, other=judge(number=number))  # here
