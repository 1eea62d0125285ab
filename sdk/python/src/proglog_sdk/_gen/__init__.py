"""Generated from proto/ by tools/protoc_gen_proglog.py. Do not edit."""
