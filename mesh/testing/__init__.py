"""What tests of Stream Mesh and of programs that use it may build on: fakes, not mocks."""
