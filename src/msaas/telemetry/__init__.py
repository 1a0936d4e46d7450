"""What the service reports about itself: metrics, log lines, and the log lines' way to the log pod."""
