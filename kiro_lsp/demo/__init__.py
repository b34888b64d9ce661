"""The demo: the main job from the lens to the tick, in a small project of its own, with a recorded agent.

It drives the real language server over standard input and output as an editor does. Nothing in the server knows that it
is a demo; what is recorded is only what the agent said and wrote.
"""
