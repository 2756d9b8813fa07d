"""The alerts page: rules, what they told, and the channels that carry it."""
