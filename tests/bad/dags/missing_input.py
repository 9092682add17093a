# wiring: double() lacks number: Number (HERE).
from tests.pipeline.tiny_line import double

double()  # here
