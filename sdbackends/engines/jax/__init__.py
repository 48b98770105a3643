"""The JAX engine. Here, before anything imports JAX, Ctrl-C is kept from being lost in it."""

from sdbackends.engines.jax import interrupts as interrupts
