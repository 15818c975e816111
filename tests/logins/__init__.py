"""Logins and permissions that others decide: see `pillarbox.logins`."""
