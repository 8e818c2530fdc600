"""What stands in the field, sans-IO: signals, images, protocol servers, the catalog. Time is an argument
here."""
