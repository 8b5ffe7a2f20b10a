"""Ready-made servers that stand on the documented public names of the lower floors.

Each front-end is a subpackage: :mod:`~duologue.frontends.echo`, :mod:`~duologue.frontends.chat`
and :mod:`~duologue.frontends.demo`. None of them uses a private name of a lower floor, so that
whatever they do, an application can do as well.
"""
