"""When a call to an upstream may start: limits, pauses, retries and the breaker."""
