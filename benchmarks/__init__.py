"""Measurements, always as ratios against something that runs beside us in the same run."""
