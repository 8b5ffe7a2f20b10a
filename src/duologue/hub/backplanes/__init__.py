"""What joins the hubs of several processes, behind one interface."""
