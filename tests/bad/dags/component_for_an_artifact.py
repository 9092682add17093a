# wiring: double(number=...) takes Number, but got Component (HERE).
from tests.pipeline.tiny_line import double, pick

double(number=pick)  # here
