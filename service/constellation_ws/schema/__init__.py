"""The interface for machines: AsyncAPI and TypeScript, made from the table and the code."""
