"""Property tests judge results, never how long a busy machine took for one example."""

from hypothesis import HealthCheck, settings

settings.register_profile("weft", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("weft")
