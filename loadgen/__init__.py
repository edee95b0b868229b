"""The load generator: drives a cluster with seeded workloads and reports what it measured.

``triskele load`` starts client processes (``loadgen.worker``), each running many sessions in one Trio process over shared links; the command's
own process (``loadgen.coordinator``) starts and stops them at one moment, watches the replicas, and puts the report together.
"""
