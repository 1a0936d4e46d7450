"""Metrics, log lines, and the shipping of log lines to the log pod."""
