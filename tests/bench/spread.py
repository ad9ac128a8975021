"""How measured values are told."""
import statistics


def spread(values, form="{:,.0f}"):
    """The median, with the lowest and the highest."""
    low, high = (form.format(pick(values)) for pick in (min, max))
    return f"{form.format(statistics.median(values))} ({low} to {high})"
