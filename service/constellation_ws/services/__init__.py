"""What services request of all pods, whatever port they use: TCP for NestJS, or HTTP."""
