"""Warm kernels: one process with the heavy imports done, from which the kernel of each page is forked.

Linux only. Elsewhere, and whenever forking would not be safe, kernels start in the normal way.
"""
