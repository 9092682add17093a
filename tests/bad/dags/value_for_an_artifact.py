# wiring: double(number=...) takes Number, but got int (HERE).
from tests.pipeline.tiny_line import double

double(number=3)  # here
