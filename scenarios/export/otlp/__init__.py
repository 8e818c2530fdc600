"""A run as OpenTelemetry data: a span for each sample and each stage of its way, and the run's metrics, into
a file or to a receiver.

Belongs here: what is made of a run for OTLP, and how it is written and sent. Never: anything that changes the
run.
"""
