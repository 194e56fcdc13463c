"""How dates and times are written where a language's own way is not what operators read: FORMAT_MODULE_PATH."""
