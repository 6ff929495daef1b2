"""Synthetic breast ultrasound: pictures with lesions, and the reports that go with them."""
