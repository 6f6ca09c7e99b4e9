"""The same five exports by other engines, each as a good user of it would write them, in a process of its own."""
