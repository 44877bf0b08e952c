"""The parts of the benchmark rig: scenarios, subjects, kernel accounting, measurement, report."""
