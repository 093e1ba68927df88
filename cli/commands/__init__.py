"""The commands of weftctl, one file a group. They only read options: whatever takes time to import comes later."""
