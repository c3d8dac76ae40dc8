"""Do different neural networks learn the same representations, and does the difference matter?"""

__version__ = "0.1.0"
