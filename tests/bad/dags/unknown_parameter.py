# wiring: double() has no parameter times; it takes number, factor (HERE).
from tests.pipeline.tiny_line import double, pick

number = pick(value=1)
double(number=number, times=3)  # here
