"""What people read: tables and pages rendered from rows."""
