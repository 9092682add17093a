# wiring: judge(number=...) takes Number, but judge() makes Judgement (HERE).
from tests.pipeline.tiny_line import judge, pick

judgement = judge(number=pick(value=1))
judge(number=judgement)  # here
