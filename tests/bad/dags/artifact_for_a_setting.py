# wiring: double(factor=...) is a setting, but pick() makes an artifact (HERE).
from tests.pipeline.tiny_line import double, pick

number = pick(value=1)
double(number=number, factor=number)  # here
