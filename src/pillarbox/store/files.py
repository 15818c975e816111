"""The one place that touches the file system: the seam at which tests record and inject faults."""
